<?php
echo "true\n";
exit(1);
