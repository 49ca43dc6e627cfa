"""How Sphinx makes the site from what data-scripts/lib/site-sources.mjs lays out."""

import json
from pathlib import Path

project = "tarflow"
author = "the authors of tarflow"
copyright = f"{author}, Apache-2.0"
version = release = json.loads(Path("package.json").read_text())["version"]

extensions = ["myst_nb", "sphinx_exercise"]
language = "en"
exclude_patterns = ["_static"]

# Notebooks are shown as they were committed.
nb_execution_mode = "off"
nb_render_markdown_format = "myst"
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
# What leads to a file that is no page, or to the same heading twice, the check of links tells.
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type"]

html_title = "tarflow"
html_theme = "sphinx_book_theme"
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    # The sidebar has it.
    "navbar_persistent": [],
}
html_context = {"default_mode": "auto"}
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [("site.mjs", {"type": "module"})]
html_copy_source = False
html_show_sphinx = False
# TeX by files of the site itself.
mathjax_path = "mathjax/tex-svg.js"
