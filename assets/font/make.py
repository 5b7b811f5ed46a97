"""Makes overlay.ttf and DejaVu-LICENSE.txt from DejaVu Sans Bold, as Debian's package fonts-dejavu-core 2.37 has it.

    python3 -m venv venv && venv/bin/pip install fonttools==4.68.0 && venv/bin/python assets/font/make.py
"""

from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

SOURCE = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf")
HERE = Path(__file__).parent
# The licence forbids some names for changed fonts (assets/README.md); this one is taken by nobody.
NAME = "Annotate Overlay"
# First and last character of each range.
RANGES = [
    (0x0020, 0x007E),  # ASCII
    (0x00A0, 0x017F),  # Latin with the marks of Europe's languages
    (0x01A0, 0x01A1),  # of Vietnamese
    (0x01AF, 0x01B0),
    (0x01CD, 0x01DC),  # of pinyin
    (0x01E6, 0x01EB),  # of Sami and of Native American languages
    (0x0218, 0x021B),  # of Romanian
    (0x0300, 0x0331),  # combining marks
    (0x0374, 0x03E1),  # Greek
    (0x0400, 0x045F),  # Cyrillic as it is written today
    (0x048A, 0x04FF),
    (0x1E80, 0x1E85),  # Welsh
    (0x1E9E, 0x1EF9),  # Vietnamese
    (0x2010, 0x2027),  # dashes, quotation marks, ellipsis
]
COPYRIGHT, FAMILY, STYLE, UNIQUE, FULL, VERSION, POSTSCRIPT, LICENCE = 0, 1, 2, 3, 4, 5, 6, 13
WINDOWS_ENGLISH = (3, 1, 0x409)

options = subset.Options()
options.hinting = False
options.layout_features = []
options.legacy_kern = False
options.glyph_names = False
# What stands for characters that are missing.
options.notdef_outline = True
options.drop_tables += ["GPOS", "GSUB", "GDEF", "FFTM", "gasp"]
font = TTFont(SOURCE, recalcTimestamp=False)
names = {number: font["name"].getDebugName(number) for number in (COPYRIGHT, VERSION, LICENCE)}
subsetter = subset.Subsetter(options)
subsetter.populate(unicodes=[code for first, last in RANGES for code in range(first, last + 1)])
subsetter.subset(font)
names |= {FAMILY: NAME, STYLE: "Bold", UNIQUE: f"{NAME} Bold", FULL: f"{NAME} Bold", POSTSCRIPT: "AnnotateOverlay-Bold"}
font["name"].names = []
for number, text in names.items():
    font["name"].setName(text, number, *WINDOWS_ENGLISH)
font.save(HERE / "overlay.ttf")
(HERE / "DejaVu-LICENSE.txt").write_text("\n".join(line.rstrip() for line in names[LICENCE].splitlines()) + "\n")
