# shellcheck shell=sh
# Runs one throw-away Postgres server for a test process: sh -c "$(cat guard.sh)" guard BIN FOLDER
#
# Orders come as lines on stdin; each is answered with its exit status on stdout. The test process holds the other end
# of stdin, so the end of input means that it has ended, for any reason: the guard then stops the server and removes the
# folder. Nothing else may end the guard, neither Ctrl-C in the terminal nor a closed stdout.
trap '' HUP INT PIPE TERM

bin=$1
folder=$2

while read -r order; do
    case $order in
        initialise)
            "$bin/initdb" --pgdata="$folder/data" --username=postgres --pwfile="$folder/password" \
                --auth=password --encoding=UTF8 --no-locale --no-sync
            ;;
        start) "$bin/pg_ctl" start --pgdata="$folder/data" --log="$folder/server.log" --wait --silent ;;
        copy)
            "$bin/pg_basebackup" --pgdata="$folder/data" --dbname="$(cat "$folder/primary")" --write-recovery-conf \
                --wal-method=stream --checkpoint=fast --no-sync
            ;;
        promote) "$bin/pg_ctl" promote --pgdata="$folder/data" --wait --silent ;;
        restart) "$bin/pg_ctl" restart --pgdata="$folder/data" --log="$folder/server.log" --mode=fast --wait --silent ;;
        stop) "$bin/pg_ctl" stop --pgdata="$folder/data" --mode=immediate --silent ;;
        *) false ;;
    esac </dev/null >>"$folder/guard.log" 2>&1
    echo "$?"
done

"$bin/pg_ctl" stop --pgdata="$folder/data" --mode=immediate --silent </dev/null >/dev/null 2>&1
cd / && rm -rf "$folder"
