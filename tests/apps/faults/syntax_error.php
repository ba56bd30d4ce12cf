<?php
function wsAuth( {
