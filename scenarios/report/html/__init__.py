"""The report as one HTML file: a page made of sections, and the SVG charts in them."""
