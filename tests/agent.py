#!/usr/bin/env python3
"""A program that behaves on its terminal as coding agents do: hooks, titles, spinners, questions.

    agent.py NAME           plays one scene here, at its own speed
    agent.py --record DIR   writes each scene as a trace: what is written and typed when, and what should be known then

The traces are what tests/it/terminal/traces.rs replays with a clock of its own.
"""

import json
import sys
import time

PROMPT = "\x1b[2J\x1b[H╭──────────╮\r\n│ >        │\r\n╰──────────╯\r\n  ? for shortcuts"
SPINNER = "✢✳✶✻✽"
DOTS = "⠂⠐"


class Scene:
    """What happens, in order; the time goes on by `wait` alone."""

    def __init__(self, name, most):
        self.name, self.now, self.lines = name, 0.0, [{"most_changes": most}]

    def add(self, **what):
        self.lines.append({"at": round(self.now, 3), **what})

    def out(self, text):
        self.add(out=text)

    def hook(self, word):
        self.out(f"\x1b]777;podbay;{word}\x07")

    def title(self, text):
        self.out(f"\x1b]0;{text}\x07")

    def key(self, text):
        self.add(typed=text)

    def wait(self, seconds):
        self.now += seconds

    def knows(self, state):
        self.add(state=state)

    def works(self, seconds, step=0.5, titled=False):
        """A spinner that is drawn over and over, as the whole frame now and then."""
        begun, at = self.now, 0
        while self.now - begun < seconds:
            if titled:
                self.title(f"{DOTS[at % 2]} mends the tests")
            line = f"{SPINNER[at % 5]} Cooking… ({int(self.now - begun)}s · esc to interrupt)"
            frame = "\x1b[2J\x1b[H● Bash(make)\r\n\r\n" if at % 8 == 0 else "\x1b[1;1H\x1b[3;1H\x1b[K"
            self.out(f"\x1b[?2026h{frame}\x1b[3;1H{line}\r\n\r\n> \x1b[?2026l")
            self.wait(step)
            at += 1


def begins(scene):
    scene.hook("idle")
    scene.out(PROMPT)
    scene.wait(1)
    scene.knows("idle")
    scene.key("mend it\r")
    scene.hook("working")


def turn():
    scene = Scene("turn", 5)
    begins(scene)
    scene.works(10)
    scene.knows("working")
    scene.hook("working")
    # Between two tools the prompt stands there for a moment.
    scene.out(PROMPT)
    scene.wait(1.5)
    scene.knows("working")
    scene.works(10, step=1.1)
    scene.knows("working")
    scene.hook("finished")
    scene.out(PROMPT)
    scene.wait(600)
    scene.knows("finished")
    scene.key("t")
    scene.wait(1)
    scene.knows("none")
    return scene


def lost_stop():
    """The hook at the end of the turn never comes."""
    scene = Scene("lost-stop", 4)
    begins(scene)
    scene.works(20)
    scene.out(PROMPT)
    scene.wait(10)
    scene.knows("working")
    scene.wait(25)
    scene.knows("idle")
    scene.wait(3600)
    scene.knows("idle")
    return scene


def lost_all():
    """It dies in the middle of its work, and its screen says nothing."""
    scene = Scene("lost-all", 4)
    begins(scene)
    scene.works(5)
    scene.out("\x1b[2J\x1b[HKilled\r\n")
    scene.wait(20)
    scene.knows("working")
    scene.wait(110)
    scene.knows("unknown")
    return scene


def spinner():
    """No hooks: a title that spins, and a frame that is drawn anew all the time."""
    scene = Scene("spinner", 4)
    scene.title("✳ agent")
    scene.out(PROMPT)
    scene.wait(2)
    scene.knows("idle")
    scene.key("mend it\r")
    scene.works(60, step=0.7, titled=True)
    scene.knows("working")
    scene.title("✳ mends the tests")
    scene.out(PROMPT)
    scene.wait(5)
    scene.knows("idle")
    return scene


def permission():
    """A question over the frame. Its hook comes late, and the answer is typed."""
    scene = Scene("permission", 7)
    begins(scene)
    scene.works(5)
    scene.out(
        "\x1b[2J\x1b[HBash command\r\n\r\n  rm -rf build\r\n\r\n"
        "Do you want to proceed?\r\n❯ 1. Yes\r\n  2. No, and tell it what to do differently"
    )
    scene.wait(1)
    scene.knows("permission")
    scene.wait(5)
    scene.hook("permission")
    scene.out("\x07")
    scene.wait(300)
    scene.knows("permission")
    scene.key("1")
    scene.hook("working")
    scene.works(5)
    scene.knows("working")
    scene.hook("finished")
    scene.out(PROMPT)
    scene.wait(1)
    scene.knows("finished")
    return scene


def login():
    scene = Scene("login", 2)
    scene.out("\x1b[2J\x1b[HSelect login method:\r\n\r\n ❯ 1. Account with subscription\r\n   2. Console account")
    scene.wait(1)
    scene.knows("question")
    scene.wait(900)
    scene.knows("question")
    scene.key("\r")
    scene.out("\x1b[2J\x1b[HOpening the browser\r\n")
    scene.wait(1)
    scene.knows("none")
    return scene


def trust():
    scene = Scene("trust", 3)
    scene.out(
        "\x1b[2J\x1b[HDo you trust the files in this folder?\r\n\r\n  /workspace\r\n\r\n"
        "❯ 1. Yes, proceed\r\n  2. No, exit"
    )
    scene.wait(1)
    scene.knows("permission")
    scene.key("\r")
    scene.hook("idle")
    scene.out(PROMPT)
    scene.wait(1)
    scene.knows("idle")
    return scene


SCENES = [scene() for scene in (turn, lost_stop, lost_all, spinner, permission, login, trust)]


def record(directory):
    for scene in SCENES:
        with open(f"{directory}/{scene.name}.jsonl", "w", encoding="ascii") as file:
            file.writelines(json.dumps(line) + "\n" for line in scene.lines)


def play(name):
    scene = next(scene for scene in SCENES if scene.name == name)
    at = 0.0
    for line in scene.lines[1:]:
        time.sleep(line["at"] - at)
        at = line["at"]
        sys.stdout.write(line.get("out", ""))
        sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1] == "--record":
        record(sys.argv[2])
    else:
        play(sys.argv[1])
