"""Writes strftime.json: what Python's datetime.strftime makes of every code, flag and width on Linux (glibc), for a few moments.

TZ=UTC LC_ALL=C.UTF-8 python make-strftime-cases.py > strftime.json
"""

import json
import sys
from datetime import datetime

MOMENTS = [
    datetime(2026, 7, 15),
    datetime(2024, 2, 29, 13, 5, 9, 123000),
    datetime(2021, 1, 3, 0, 59, 59, 999000),
    datetime(2020, 12, 31, 23, 30, 1),
    datetime(2018, 12, 31, 11, 11, 11, 5000),
    datetime(1999, 5, 5, 7, 8, 9),
]
CODES = "aAwdbBmyYHIpMSfzZjUWcxX%GuVeklDFTRrshntCgP"
# With flags or a width, %f, %z and %Z are no longer Python's own.
FLAGGED = [code for code in CODES if code not in "fzZ"]
WIDTHS = ["12", "-5", "_5", "05", "^10", "#^", "_-", "0_12"]
TEXTS = [
    *["", "plain", "%", "%%%", "100%", "%Q", "%i", "% d", "%é", "%J %v %N %q %L", "%E", "%OQ", "Über %A 日本 %d"],
    *["%d %b %Y", "Today Date: %d %B %Y", "%B %d, %Y", "%Y-%m-%d", "%A, %d. %B %Y at %H:%M", "%d %b %Y %%d", "%Y%m%dT%H%M%S.%f"],
]

formats = {"%" + code for code in CODES} | set(TEXTS)
formats |= {"%" + before + code for before in ["-", "_", "0", "^", "#", *WIDTHS] for code in FLAGGED}
formats |= {"%" + form + code for form in "EO" for code in FLAGGED if code != "P"}

texts = {format: [moment.strftime(format) for moment in MOMENTS] for format in sorted(formats)}
print('{\n"python": %s,' % json.dumps(sys.version.split()[0]))
print('"moments": %s,' % json.dumps([moment.isoformat(timespec="milliseconds") for moment in MOMENTS]))
lines = [f"{json.dumps(key, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}" for key, value in texts.items()]
print('"texts": {\n%s\n}\n}' % ",\n".join(lines))
