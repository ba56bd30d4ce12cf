<?php
ini_set('display_errors', 'stdout');
echo "true\n";
echo $missing;
