"""A callback of Ansible that writes the result of each task, as it gets it, to the descriptor that ANSWER_FD names."""
import json
import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: answer
type: stdout
short_description: results as they are
description: Writes each result as JSON.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "answer"

    def _answer(self, result, **outcome):
        # These two are taken out of what a callback gets.
        answer = dict(result._result, failed=False, skipped=False)
        answer.update(outcome)
        os.write(int(os.environ["ANSWER_FD"]), json.dumps(answer, default=str).encode())

    def v2_runner_on_ok(self, result):
        self._answer(result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._answer(result, failed=True)

    def v2_runner_on_skipped(self, result):
        self._answer(result, skipped=True)

    def v2_runner_on_unreachable(self, result):
        self._answer(result, unreachable=True)
