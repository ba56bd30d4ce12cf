<!doctype html>
<title><?= $argv[2] ?></title>
<p>This is the wrong file: a page, not an app with hooks. Is it true?</p>
