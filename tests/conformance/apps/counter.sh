#!/bin/sh
# Answers each message with itself. It starts in a millisecond, so a thousand events are quick.
case $1 in *::receive) echo "start $4 $5" >>"$STAGE/calls" ;; *) echo "start $4 ${1#*::}" >>"$STAGE/calls" ;; esac
case $1 in
    *::receive) echo "$5" && echo "end $4 $5" >>"$STAGE/calls" ;;
    *) echo "end $4 ${1#*::}" >>"$STAGE/calls" && echo true ;;
esac
printf . >"$STAGE/bell"
