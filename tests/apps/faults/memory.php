<?php
ini_set('memory_limit', '4M');
echo 'true';
ob_end_flush();
str_repeat('x', 64 << 20);
