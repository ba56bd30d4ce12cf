<?php
die('Access denied');
