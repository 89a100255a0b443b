"""Write results/<name>/report.html: everything in one file, with Snakemake's own report.

python -m tools.report [--scale NAME] [--configfile FILE]
"""

import subprocess
import sys

from tools.options import ROOT, chosen, or_exit, parser


def main() -> None:
    options = parser(__doc__).parse_args()
    _, results = or_exit(chosen, ROOT, options.scale, options.configfile)
    select = ["--configfile", options.configfile] if options.configfile else []
    select += ["--config", f"scale={options.scale}"] if options.scale else []
    # --report goes last: it may have further values.
    command = [sys.executable, "-m", "snakemake", *select, "--report", results / "report.html"]
    sys.exit(subprocess.run(command).returncode)


if __name__ == "__main__":
    main()
