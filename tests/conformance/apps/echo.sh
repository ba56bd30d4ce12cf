#!/bin/sh
# Lets everybody in and answers each message with itself; it leaves no other trace.
case $1 in *::receive) echo "$5" ;; *) echo true ;; esac
