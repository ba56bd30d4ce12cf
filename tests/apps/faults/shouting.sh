#!/bin/sh
echo TRUE
