#!/bin/sh
# Lets everybody in, and takes a millisecond.
echo true
