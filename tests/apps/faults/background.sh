#!/bin/sh
# answers with nothing; the child it leaves behind would say yes, and too late
(sleep 300; echo true) &
echo $! >&2
