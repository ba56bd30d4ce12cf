<?php
echo json_encode('true');
