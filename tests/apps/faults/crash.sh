#!/bin/sh
echo true
kill -SEGV $$
