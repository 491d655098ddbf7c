"""Prints a Salt master's events, one JSON line {"tag", "data"} each; first the line "ready" once it listens.

Ends when its standard input closes, and so with the process that started it.

Usage: salt_events.py MASTER_CONFIG_FILE
"""
import json
import os
import sys
import threading

import salt.config
import salt.utils.event

threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()

opts = salt.config.master_config(sys.argv[1])
bus = salt.utils.event.get_event("master", sock_dir=opts["sock_dir"], opts=opts, listen=True)
print("ready", flush=True)
for event in bus.iter_events(full=True, auto_reconnect=True):
    print(json.dumps(event, default=str, skipkeys=True), flush=True)
