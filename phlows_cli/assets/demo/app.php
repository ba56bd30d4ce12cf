<?php
/*
 * The app behind the page of `phlows demo --lang php`: who is here, a chat, a poll, casts.
 *
 * The broker calls one of the functions wsAuth, wsReceive and wsClose for each thing that happens.
 * What the app knows it keeps in a file and not in variables: the broker may start several
 * processes of it, and end any of them.
 *
 * Two rules are worth taking over into an app of your own.
 *
 * The page puts the HTML of `inner` and `append` in as it is. So whatever a visitor typed goes
 * through escape() first, and it goes through it here: a page must never get a text of which it
 * would have to guess whether it is HTML.
 *
 * What everyone is to see in the same order is cast under the same lock under which it was stored.
 * Else the list with two people could overtake the one with three, and stay.
 */

declare(strict_types=1);

require dirname(__DIR__) . '/phlows.php';

const CHOICES = ['chat', 'board', 'game', 'alerts'];
const ACTIONS = ['join' => 'joinRoom', 'rename' => 'renameVisitor', 'say' => 'say', 'vote' => 'vote', 'cast' => 'shout'];
const LONGEST_NAME = 24;
const LONGEST_TEXT = 500;
const MESSAGES_KEPT = 40;
const VOTES_KEPT = 1000;
const PEOPLE_SHOWN = 40;

// The hooks

/** Lets a visitor in, or not: only true does. Here a token is any 32 hex digits, which the tab made
 * up; a real app looks up whose token it is. */
function wsAuth(string $wsHost, string $wsToken, string $wsSocket): bool
{
    return preg_match('/^[0-9a-f]{32}$/D', $wsToken) === 1;
}

/** Takes one message of a visitor; its keys are the named arguments. */
function wsReceive(string $wsHost, string $wsToken, string $wsSocket, mixed ...$data): void
{
    $type = $data['type'] ?? null;
    $act = is_string($type) ? ACTIONS[$type] ?? null : null;
    if ($act === null) {
        apply(error: 'the demo does not know that type of message');
        return;
    }
    withRoom($wsHost, function (array &$room) use ($act, $wsToken, $wsSocket, $data): void {
        if ($act === 'joinRoom' || isset($room['people'][$wsSocket])) {
            $act($room, $wsToken, $wsSocket, $data);
        }
    });
}

/** Takes a visitor off the list, whatever ended the connection. */
function wsClose(string $wsHost, string $wsToken, string $wsSocket): void
{
    withRoom($wsHost, function (array &$room) use ($wsSocket): void {
        if (isset($room['people'][$wsSocket])) {
            unset($room['people'][$wsSocket]);
            castPeople($room);
        }
    });
}

// What visitors do

/** Puts a tab on the list, and shows it what there is: it may have missed a lot. */
function joinRoom(array &$room, string $token, string $socket, array $data): void
{
    $room['people'][$socket] = ['token' => $token, 'name' => nameIn($data)];
    $talk = implode('', array_map(fn(array $said): string => message($said, $token), $room['talk']));
    wsCast(wsTarget: $socket, inner: ['#messages' => $talk], attr: ownVote($room, $token));
    wsCast($socket, ...poll($room));
    castPeople($room);
}

/** Gives every tab of a visitor another name. */
function renameVisitor(array &$room, string $token, string $socket, array $data): void
{
    foreach ($room['people'] as &$person) {
        if ($person['token'] === $token) {
            $person['name'] = nameIn($data);
        }
    }
    unset($person);
    castPeople($room);
}

/** Shows a message to everyone, and to its author in another colour. */
function say(array &$room, string $token, string $socket, array $data): void
{
    $text = textIn($data);
    if ($text === '') {
        return;
    }
    $said = ['token' => $token, 'name' => $room['people'][$socket]['name'], 'text' => $text];
    $room['talk'] = array_slice([...$room['talk'], $said], -MESSAGES_KEPT);
    wsCast(wsTarget: "token:$token", append: ['#messages' => message($said, $token)]);
    wsCast(wsTarget: "token:not:$token", append: ['#messages' => message($said, '')]);
}

/** Counts a vote; a second one of the same visitor takes the place of the first. */
function vote(array &$room, string $token, string $socket, array $data): void
{
    if (!in_array($data['choice'] ?? null, CHOICES, true)) {
        return;
    }
    unset($room['votes']["t$token"]);
    $room['votes']["t$token"] = $data['choice'];    // "t": PHP takes a key of digits for a number
    $room['votes'] = array_slice($room['votes'], -VOTES_KEPT);
    wsCast('all', ...poll($room));
    wsCast(wsTarget: "token:$token", attr: ownVote($room, $token));
}

/** Casts a toast for a visitor: the key stays with the app, the page has none. */
function shout(array &$room, string $token, string $socket, array $data): void
{
    $text = textIn($data);
    if ($text === '') {
        return;
    }
    $to = $data['to'] ?? 'all';
    // A toast is shown as text, so this is the one thing that needs no escape().
    $receipt = wsCast(
        wsTarget: $to === 'me' ? $socket : 'all',
        wsExcept: $to === 'others' ? $socket : '',
        toast: $room['people'][$socket]['name'] . ": $text",
    );
    $sent = $receipt['sent'] ?? 0;
    // Printed, so only the tab that asked gets it.
    apply(inner: ['#receipt' => "reached $sent tab" . ($sent === 1 ? '' : 's')]);
}

// What they typed

/** The name in a message, in one line, or a stand-in. */
function nameIn(array $data): string
{
    $name = is_string($data['name'] ?? null) ? $data['name'] : '';
    $words = preg_split('/\s+/u', $name, -1, PREG_SPLIT_NO_EMPTY) ?: ['Nobody'];
    return start(implode(' ', $words), LONGEST_NAME);
}

/** The text in a message; '' when it has none, or too much of it. */
function textIn(array $data): string
{
    $text = is_string($data['text'] ?? null) ? trim($data['text']) : '';
    if (start($text, LONGEST_TEXT) !== $text) {
        apply(toast: 'At most ' . LONGEST_TEXT . ' characters, please.');
        return '';
    }
    return $text;
}

/** The first characters of a text; substr would count bytes, and mb_substr is not everywhere. */
function start(string $text, int $length): string
{
    preg_match("/^.{0,$length}/su", $text, $found);
    return $found[0] ?? '';
}

function escape(string $text): string
{
    return htmlspecialchars($text, ENT_QUOTES | ENT_SUBSTITUTE);
}

// What everyone sees

/** Tells everyone who is here: when somebody comes or goes, and at no other time. */
function castPeople(array $room): void
{
    $names = [];
    foreach ($room['people'] as $person) {
        $names['t' . $person['token']] = $person;
    }
    $html = '';
    foreach (array_slice($names, 0, PEOPLE_SHOWN) as $person) {
        $html .= '<li>' . face($person) . '<span>' . escape($person['name']) . '</span></li>';
    }
    $more = count($names) - PEOPLE_SHOWN;
    $html .= $more > 0 ? "<li class=\"more\">and $more more</li>" : '';
    wsCast(wsTarget: 'all', inner: ['#people' => $html, '#count' => (string) count($names)]);
}

/** How the votes stand, as commands for the page. */
function poll(array $room): array
{
    $total = count($room['votes']);
    $inner = ['#votes' => "$total vote" . ($total === 1 ? '' : 's')];
    $bars = [];
    foreach (CHOICES as $choice) {
        $count = count(array_keys($room['votes'], $choice, true));
        $inner["#votes-$choice"] = (string) $count;
        $bars["#bar-$choice"] = intdiv(100 * $count, max(1, $total));
    }
    return ['inner' => $inner, 'value' => $bars];
}

/** Which button is pressed: only the visitor's own tabs are told. */
function ownVote(array $room, string $token): array
{
    $own = $room['votes']["t$token"] ?? null;
    $pressed = [];
    foreach (CHOICES as $choice) {
        $pressed["#vote-$choice"] = ['aria-pressed' => $choice === $own ? 'true' : 'false'];
    }
    return $pressed;
}

/** One message as HTML; what people typed is escaped, so it stays text. */
function message(array $said, string $reader): string
{
    $whose = $said['token'] === $reader ? 'mine' : 'theirs';
    return "<li class=\"$whose\">" . face($said)
        . '<p><b>' . escape($said['name']) . '</b> <span>' . escape($said['text']) . '</span></p></li>';
}

/** A visitor's initials on a colour that stays theirs. The token itself is nobody's business. */
function face(array $person): string
{
    $initials = '';
    foreach (array_slice(explode(' ', $person['name']), 0, 2) as $word) {
        $initials .= start($word, 1);
    }
    $hue = crc32($person['token']) % 8;
    return "<span class=\"face hue-$hue\" aria-hidden=\"true\">" . escape(strtoupper($initials)) . '</span>';
}

// What is kept

/** Gives what is known of a host's room to a function: one process at a time has it, and it is stored after. */
function withRoom(string $host, callable $work): void
{
    $folder = getenv('DEMO_FOLDER') ?: '.';
    $file = fopen("$folder/room-" . str_replace(':', '-', $host) . '.json', 'c+');
    flock($file, LOCK_EX);      // until the file is closed
    $stored = stream_get_contents($file);
    $room = $stored === '' ? ['people' => [], 'talk' => [], 'votes' => []] : json_decode($stored, true, 512, JSON_THROW_ON_ERROR);
    try {
        $work($room);
        $text = json_encode($room, JSON_THROW_ON_ERROR);
        ftruncate($file, 0);
        rewind($file);
        fwrite($file, $text);
    } finally {
        fclose($file);
    }
}

phlows_run();
