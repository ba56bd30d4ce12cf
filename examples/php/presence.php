<?php
/*
 * Who is online, without polling, on phlows.php. To start it:
 *
 *     phlows sdk php > examples/php/phlows.php
 *     phlows host add app.example.com examples/php/presence.php --auth upgrade
 *     phlows serve
 *
 * The broker is asked how many there are. APCu, where many apps keep such counts, would not do:
 * each process of the command line has an APCu of its own, so the count would always be 1.
 *
 * wsCount() counts authenticated sockets. With `auth = "upgrade"` the visitor's cookie was checked
 * before wsConnect, so the newcomer counts there. With `auth = "message"` a socket is authenticated
 * only after wsConnect: let the page say when it has connected, and count in wsReceive, as app.php
 * beside this file does.
 */

declare(strict_types=1);

require __DIR__ . '/phlows.php';

/** The visitor's cookie `token`, before the socket opens; a real app looks it up. */
function wsAuth(string $wsHost, string $wsToken, string $wsSocket): bool
{
    return $wsToken !== '';
}

/** The socket is open: it is counted, and this cast reaches it, too. */
function wsConnect(string $wsHost, string $wsToken, string $wsSocket): bool
{
    tellTheCount();
    return true;
}

/** The socket is gone: it is not counted any more. */
function wsClose(string $wsHost, string $wsToken, string $wsSocket): void
{
    tellTheCount();
}

function tellTheCount(): void
{
    wsCast(wsTarget: 'all', inner: ['#online-count' => (string) wsCount()]);
}

phlows_run();
