"""A reader of HTML pages that checks that they are well formed."""

from html.parser import HTMLParser

#: HTML elements that have no end.
VOID = {"meta", "img", "br", "hr", "link"}


class Page(HTMLParser):
    """Elements of a page, and whether all that open also close, in order."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.open, self.text = [], [], ""
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]
