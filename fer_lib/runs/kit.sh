#!/usr/bin/env bash
# Make the runs of the kit beside this script, on a machine without network, and pack their records. It needs bash, tar,
# sha256sum and a Python with pip.
#
#   bash kit.sh [--minutes 8.5] [--jobs 3] [--into FOLDER] [--out FOLDER]
#
#   --minutes  all has ended then, records packed (default: when all runs are made)
#   --jobs     runs at a time (default: 1)
#   --into     where all is unpacked and made (default: fer-kit, in the folder of the call). Keep it: the next call goes
#              on with what is there. Of what else lies there, nothing is deleted
#   --out      where records.tar goes (default: the folder of the call), in place of an older one
#
# PYTHON=/path/to/python names another Python than python3. Pieces need not be there all at once: each call keeps in
# FOLDER those that it finds. It ends with 0, or with 1 where a run failed, or a checkpoint or record was refused; 2 for
# wrong options or a machine that will not do; 3 where pieces have yet to come; 4 where one is damaged; 5 where something
# could not be unpacked, put in place or packed, for want of disk for example: what was there before stays.
set -euo pipefail

fail() {
    echo "kit.sh: ${*:2}" >&2
    exit "$1"
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
minutes='' jobs=1 into=fer-kit out=. python=${PYTHON:-python3}
while [ $# -gt 0 ]; do
    case $1 in
        --minutes | --jobs | --into | --out)
            [ -n "${2:-}" ] || fail 2 "$1: found no value, expected one; see the head of this script"
            declare "${1#--}=$2"
            shift 2
            ;;
        -h | --help)
            sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
            exit 0
            ;;
        *) fail 2 "found the option $1, expected --minutes, --jobs, --into or --out; correct it" ;;
    esac
done
[[ $minutes =~ ^([0-9]+(\.[0-9]+)?)?$ ]] || fail 2 "--minutes: found $minutes, expected a number such as 8.5; correct it"
[[ $jobs =~ ^[1-9][0-9]*$ ]] || fail 2 "--jobs: found $jobs, expected a whole number, 1 or more; correct it"
trap 'fail 5 "found that a command failed (see above), expected room in $into and $out, and the right to write there;" \
    "see to it, then call this again"' ERR
mkdir -p "$into" "$out"
into=$(cd "$into" && pwd)
out=$(cd "$out" && pwd)
# What is deleted has a name that nobody else uses: .fer-kit and more. The sums of the kit that is unpacked lie in
# project, and come there with it: a project without them is somebody else's.
state=$into/project/.fer-kit kept=$into/.fer-kit.pieces

# ---- the pieces: each with its checksum, from wherever it lies

sum_of() { sha256sum <"$1" | cut -d ' ' -f 1; }

if [ ! -e "$state" ]; then
    for name in project site; do
        if [ -e "$into/$name" ] || [ -L "$into/$name" ]; then
            fail 2 "$into: found $name, which no kit made, expected a new folder; name another: --into"
        fi
    done
    [ -e "$here/SHA256SUMS" ] || fail 3 "$here: found no SHA256SUMS, expected it beside this script; bring it from the kit"
    mkdir -p "$kept"
    pieces=() missing=() damaged=()
    while read -r sum name; do
        piece=''
        for place in "$here/$name" "$kept/$name"; do
            [ -e "$place" ] || continue
            if [ "$(sum_of "$place")" = "$sum" ]; then piece=$place && break; fi
            damaged+=("$place")
        done
        if [ -n "$piece" ]; then pieces+=("$piece"); else missing+=("$name"); fi
    done <"$here/SHA256SUMS"
    if [ ${#missing[@]} -gt 0 ]; then
        for piece in ${pieces[@]+"${pieces[@]}"}; do
            if [ "${piece%/*}" != "$kept" ]; then
                cp "$piece" "$kept/.partial"
                mv "$kept/.partial" "$kept/${piece##*/}"
            fi
        done
        [ ${#damaged[@]} -eq 0 ] ||
            fail 4 "${damaged[*]}: found another SHA-256 than in SHA256SUMS, expected that; copy it again, then call this again"
        fail 3 "found ${#pieces[@]} of $((${#pieces[@]} + ${#missing[@]})) pieces, kept in $into; bring ${missing[*]}," \
            "then call this again"
    fi
    echo "kit.sh: unpacking ${#pieces[@]} pieces into $into"
    rm -rf "$into/.fer-kit.project"
    mkdir "$into/.fer-kit.project"
    cat "${pieces[@]}" | tar -x -f - -C "$into/.fer-kit.project"
    cp "$here/SHA256SUMS" "$into/.fer-kit.project/${state##*/}"
    mv "$into/.fer-kit.project" "$into/project"
    rm -rf "$kept"
elif [ -e "$here/SHA256SUMS" ] && ! cmp -s "$here/SHA256SUMS" "$state"; then
    fail 2 "$into: found another kit than the one beside this script, expected the same; name another folder: --into"
fi
cd "$into/project"
# python_version, profile, piece (bytes), left_out, modules; and the environment of the runs
. ./settings.sh

# ---- the packages, without network, before the machine's own; what the kit leaves out is the machine's

found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') ||
    fail 2 "$python: found no Python, expected $python_version; name it: PYTHON=/path/to/python bash kit.sh"
[ "$found" = "$python_version" ] ||
    fail 2 "$python: found Python $found, expected $python_version, for which the packages are; name it:" \
        "PYTHON=/path/to/python bash kit.sh, or make the kit for this one"
export FER2013="$into/project/data/fer2013.npz" FERPLUS="$into/project/data/fer2013new.csv"
[ -e "$FER2013" ] || unset FER2013
[ -e "$FERPLUS" ] || unset FERPLUS
[ -n "$PRECISION" ] || unset PRECISION
[ -n "$FER_COMMIT" ] || unset FER_COMMIT
unset FER_CACHE
export PYTHONUNBUFFERED=1
export JAX_COMPILATION_CACHE_DIR="${JAX_COMPILATION_CACHE_DIR:-$into/jax-cache}"
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="${JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS:-0}"
above=${PYTHONPATH:+:$PYTHONPATH}

if [ ! -e "$into/site" ]; then
    echo "kit.sh: installing $(find wheels -name '*.whl' | wc -l) packages into $into/site"
    partial=$into/.fer-kit.site
    rm -rf "$partial"
    mkdir "$partial"
    if [ -s wheels/requirements.txt ]; then
        "$python" -m pip --version >/dev/null 2>&1 ||
            fail 2 "$python: found no pip, expected it to install packages; name a Python that has it: PYTHON=/path/to/python"
        PIP_CONFIG_FILE=/dev/null "$python" -m pip --isolated install --quiet --disable-pip-version-check --no-cache-dir \
            --no-compile --no-deps --no-index --require-hashes --find-links wheels --target "$partial" \
            -r wheels/requirements.txt ||
            fail 2 "wheels: found packages that pip does not install here, expected Linux on x86-64 with the C library of" \
                "2018 or later; see above"
    fi
    PYTHONPATH="$partial:$into/project$above" "$python" - "$left_out" $modules <<'CHECK' ||
import importlib, sys

left_out, *modules = sys.argv[1:]
for name in modules:
    try:
        importlib.import_module(name)
    except Exception as error:
        print(f"kit.sh: {name}: found none that can be imported ({type(error).__name__}: {error})", file=sys.stderr)
        sys.exit(1)
import jax

print(f"kit.sh: JAX {jax.__version__} computes on {', '.join(map(str, jax.devices()))}")
CHECK
        fail 2 "expected ${left_out:-nothing} on this machine, and all else from the kit; install what lacks, or make the" \
            "kit again, with another --without"
    mv "$partial" "$into/site"
fi
export PYTHONPATH="$into/site:$into/project$above"

# ---- the runs

code=0
if [ -e checkpoints.tar ]; then
    # its last line says how many it refused: without, it came to no end
    if ! "$python" -m fer_lib import checkpoints.tar | tee "$into/.fer-kit.import"; then
        tail -n 1 "$into/.fer-kit.import" | grep -q ' refused\.$' ||
            fail 5 "checkpoints.tar: found that it could not be put in place (see above), expected room for it; make room," \
                "then call this again, or delete $PWD/checkpoints.tar: its runs then begin anew"
        echo "kit.sh: runs whose checkpoint was refused begin anew"
        code=1
    fi
    rm -f "$into/.fer-kit.import"
    mv checkpoints.tar checkpoints.taken.tar
fi
left=()
if [ -n "$minutes" ]; then # 10 seconds are for packing
    left=(--minutes "$("$python" -c "print(max(0.0, round($minutes - ($SECONDS + 10) / 60, 2)))")")
fi
if [ "${left[*]}" = "--minutes 0.0" ]; then
    echo "kit.sh: no time is left for runs; the next call begins with them"
else
    "$python" -m fer_lib runs --missing --list runs.json --jobs "$jobs" ${left[@]+"${left[@]}"} || code=1
fi

# ---- what is to be taken home

packed=$out/.fer-kit.records
rm -rf "$packed"
mkdir "$packed"
"$python" -m fer_lib export "$packed/records.tar" --profile "$profile" --checkpoints || code=1
join=''
if [ ! -e "$packed/records.tar" ]; then
    join='not packed'
elif [ "$(wc -c <"$packed/records.tar")" -gt "$piece" ]; then
    join='cat records.tar.* > records.tar, then '
    split -b "$piece" -d -a 3 "$packed/records.tar" "$packed/records.tar." || join='not packed'
    rm "$packed/records.tar"
fi
if [ "$join" = 'not packed' ]; then
    rm -rf "$packed"
    fail 5 "$out: found that the records could not be packed (see above), expected room for them; an older records.tar" \
        "stays. Make room, or name another folder: --out, then call this again"
fi
rm -f "$out"/records.tar "$out"/records.tar.[0-9][0-9][0-9]
mv "$packed"/records.tar* "$out"
rmdir "$packed"
echo "kit.sh: take home $(echo "$out"/records.tar*); there: $join.venv/bin/fer import records.tar"
exit $code
