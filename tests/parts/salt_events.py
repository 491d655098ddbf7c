"""Prints a Salt master's events, one JSON line {"tag", "data"} each; first the line "ready" once it listens.

Usage: salt_events.py MASTER_CONFIG_FILE
"""
import json
import sys

import salt.config
import salt.utils.event

opts = salt.config.master_config(sys.argv[1])
bus = salt.utils.event.get_event("master", sock_dir=opts["sock_dir"], opts=opts, listen=True)
print("ready", flush=True)
for event in bus.iter_events(full=True, auto_reconnect=True):
    print(json.dumps(event, default=str), flush=True)
