"""Sphinx: the pages of this folder as a site, by `make docs`."""

project = "AtmoRep"
extensions = ["myst_parser", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_theme = "alabaster"
html_theme_options = {
    "page_width": "68rem",
    "description": "From ERA5 to a trained field, scored and reported",
}
exclude_patterns = ["build"]
html_sidebars = {"**": ["about.html", "searchfield.html", "navigation.html"]}
html_show_copyright = False
html_show_sphinx = False
