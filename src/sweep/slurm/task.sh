job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
run=$sweep/$cell
cd -- "$directory" || exit

# USR1: this job's time is nearly over, or it is to make way. Its training saves and stops, and the job goes back to the queue.
# TERM: it is cancelled, or SLURM queues it again by itself. It reaches the training too, which a second one would end unsaved.
training= asked= requeue= waiting=
trap 'asked=1 requeue=1 waiting=1; [[ -z $training ]] || kill -TERM "$training" 2>/dev/null' USR1
trap 'asked=1 waiting=1' TERM

# Two jobs never train one cell: the lock lasts as long as this shell or its training.
exec 9>>"$run.journal" || exit
flock --timeout 60 9 || { echo "$cell: another job trains it" >&2; exit 75; }
echo "$job begun" >&9
setup

if [[ -f $run/config.json ]]; then
    settings=("resume=$run")
else
    settings+=("out=$run")
fi
saved() { ls -- "$run/checkpoints" 2>/dev/null; }
before=$(saved)
code=1
if [[ -z $asked ]]; then
    "$engine" train "${settings[@]}" "${threads[@]}" </dev/null >/dev/null 2>>"$run.log" &
    training=$!
    # A signal ends `wait`, not the training.
    waiting=1
    while [[ -n $waiting ]]; do
        waiting=
        wait "$training"
        code=$?
    done
fi

# 1: saved; 130, 143: ended by a second signal, or before it could save.
if [[ -n $asked && ($code == 1 || $code == 130 || $code == 143) ]]; then
    echo "$job stopped $SECONDS" >&9
    if [[ -n $requeue && $(saved) == "$before" && ${SLURM_RESTART_COUNT:-0} -ge 3 ]]; then
        echo "$cell: stopped for the fourth time, and nothing new was saved: it is not queued again" >&2
    elif [[ -n $requeue ]]; then
        scontrol requeue "$job"
    fi
else
    echo "$job ended $code $SECONDS" >&9
fi
exit "$code"
