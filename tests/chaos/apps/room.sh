#!/bin/sh
# Lets everybody in, with no more than a process needs.
case $1 in *::receive) ;; *) echo true ;; esac
