"""Deploys the template with the real `sam deploy` to an emulator of AWS, and plays okta-anypoint through it; see tools/deploy-local."""

import argparse
import pathlib
import shutil
import signal
import sys
import tempfile

import gaps
import permissions
import play as plays
from lab import ROOT, TOOLS, Lab
from vendors import Wrong

# The update stands before the schedules, whose first run comes a minute after the deployment.
CHAPTERS = [plays.refused_parameters, plays.failing_first_deployment, plays.deployment, plays.hand_over, plays.events, plays.permanent_failure,
            plays.rotation, plays.own_reason, plays.update, plays.schedules, plays.refused, plays.outage, plays.dead_letters, permissions.measured,
            plays.alarms_and_metrics]


def main():
    parser = argparse.ArgumentParser(prog="tools/deploy-local")
    parser.add_argument("--no-build", action="store_true", help="deploy what the last `sam build` made")
    parser.add_argument("--programs", type=pathlib.Path, metavar="FOLDER", help="template.yaml with the functions built in FOLDER (of `sam build`)")
    parser.add_argument("--iam", action="store_true", help="also take every action out of every role in turn")
    parser.add_argument("--first", action="store_true", help="end at the first thing that is wrong")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs")
    parser.add_argument("program", type=pathlib.Path, help=argparse.SUPPRESS)
    wish = parser.parse_args()
    programs = wish.programs or ROOT / ".aws-sam/build"
    template = ROOT / "template.yaml" if wish.programs else programs / "template.yaml"
    built = gaps.with_code(template.read_text(), programs.resolve())
    folder = pathlib.Path(tempfile.mkdtemp(prefix="okta-anypoint-deploy-")).resolve()
    lab = Lab(folder, wish.program.resolve())
    play = plays.Play(lab, built, wish.first)
    try:
        lab.start_emulator()
        lab.start_vendors()
        play.say("emulator (IAM on) and simulators answer")
        for chapter in [*CHAPTERS, *([permissions.without_each] if wish.iam else []), plays.end]:
            play.chapter(chapter)
            if play.is_over:
                break
            if not play.out and chapter is plays.deployment:
                raise Wrong("without a stack there is nothing to play")
    finally:
        lab.stop_all()
    if not play.is_over:
        play.check("everything that was started has ended", not lab.left_over(), lab.left_over() or "")
    if wish.keep or play.failures:
        print(f"the logs are in {folder}")
    else:
        shutil.rmtree(folder)
    verdict = "all as it should be" if not play.failures else f"{len(play.failures)} wrong: {play.failures}"
    play.say(f"deploy-local: {verdict}")
    return 1 if play.failures else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except Wrong as wrong:
        sys.exit(f"deploy-local: {wrong}")
