#!/bin/sh
# says yes, and never ends
echo true
exec sleep 300
