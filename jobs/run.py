"""run: the whole chain, or some stages of it, under spark-submit.

spark-submit --properties-file conf/spark-defaults.conf jobs/run.py --root R --set segmenter.weights=FILE
"""

from jobs.cli import main

if __name__ == "__main__":
    main(["run"])
