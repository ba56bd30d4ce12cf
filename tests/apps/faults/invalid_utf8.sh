#!/bin/sh
printf 'tru\345\n'
