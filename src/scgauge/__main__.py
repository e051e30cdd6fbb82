from scgauge.cli import app

app()
