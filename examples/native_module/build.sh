#!/bin/sh
# Builds the module for the platform that this runs on, to where a state root has such modules.
# Static: the hosts need no library of it. CC chooses another compiler, such as a cross compiler with SYSTEM and MACHINE.
set -eu
cd "$(dirname "$0")"
folder=modules/bin/${SYSTEM:-$(uname -s)}/${MACHINE:-$(uname -m)}
mkdir -p "$folder"
${CC:-cc} -std=c11 -Os -static -s -Wall -Wextra -Werror -o "$folder/line" line.c
