#!/bin/sh
# Writes down when a hook begins and how it ends, each in one write, and answers a message
# with itself. Who comes as "nobody" is refused by connect, as "stranger" by auth.
hook=${1#*::}
number=-
answer=true
case $hook in
receive) number=${5#*:} number=${number# } number=${number%%[!0-9]*} answer=$5 ;;
connect) [ "$3" != nobody ] || answer=false ;;
auth) [ "$3" != stranger ] || answer=false ;;
esac
facts="$hook $2 $4 ${3:--} $number ${PHLOWS_CLOSE_REASON:--} ${PHLOWS_CLOSE_ATTEMPT:--} $$"
echo "+ $facts -" >>"$LEDGER"
case $5 in *slow*) sleep 60 & wait ;; esac
echo "- $facts ${answer%%[!a-z]*}" >>"$LEDGER"
echo "$answer"
