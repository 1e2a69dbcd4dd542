"""A step of a run on this machine, as a process: kfp's own module, which ends sooner.

python -m fairway.pipelines.step_process ARGUMENTS      # what `execute` starts for each step
"""

import runpy

from fairway import garbage

KFP = "kfp.dsl.executor_main"  # as compiled steps name it

if __name__ == "__main__":
    garbage.left_at_end()
    runpy.run_module(KFP, run_name="__main__", alter_sys=True)
