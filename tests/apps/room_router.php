<?php
/* room.php behind a URL: the same functions, asked over HTTP. The file `broker` beside it names the broker. */

ini_set('display_errors', '0');
putenv('PHLOWS_URL=' . file_get_contents(__DIR__ . '/broker'));
require __DIR__ . '/room.php';

$event = json_decode(file_get_contents('php://input'), true);
putenv("PHLOWS_HOST={$event['host']}");
if (isset($event['target'])) {
    $value = $event['target'](...$event['args']);
} else {
    $function = 'ws' . ucfirst($event['hook']);
    $value = $function($event['host'], $event['token'], $event['socket'], ...$event['data'] ?? []);
}
echo json_encode($value), "\n";
