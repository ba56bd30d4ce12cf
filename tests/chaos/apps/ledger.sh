#!/bin/sh
# Writes down when a hook begins and ends, and answers a message with itself. PAUSE makes it slow.
hook=${1#*::}
echo "+ $hook $4 $$" >>"$STAGE/calls"
[ -z "$PAUSE" ] || sleep "$PAUSE"
case $hook in receive) echo "$5" ;; *) echo true ;; esac
echo "- $hook $4 $$" >>"$STAGE/calls"
printf . >"$STAGE/bell"
