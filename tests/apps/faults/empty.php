<?php
function wsAuth($wsHost, $wsToken, $wsSocket)
{
    return true; // and nobody calls it
}
