"""A process of its own that draws charts: one Vega-Lite specification a line in, one answer a line out.

Run as a script by svg.py. vl-convert runs JavaScript in V8, which reserves tens of gigabytes of addresses and
aborts its whole process where it may not have them (`ulimit -v`): here that costs the charts and no more.

stdin: JSON, a specification a line. stdout: JSON, {"svg": …} or {"error": …} a line, in the same order.
"""

import json
import os
import sys

if __name__ == "__main__":
    # What a library prints is no answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    import vl_convert

    # The first takes a second, in which the caller reads the tables of the run.
    vl_convert.vegalite_to_svg({"data": {"values": []}, "mark": "point"})
    for line in sys.stdin:
        try:
            answer = {"svg": vl_convert.vegalite_to_svg(json.loads(line))}
        except ValueError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), file=answers, flush=True)
