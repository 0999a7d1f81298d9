#!/bin/bash
# Writes the files and folders that the output options name; fails if there is a file FAIL.
make() { mkdir -p "$(dirname "$1")" && echo made > "$1"; }
echo "$*" >> calls.log
module=$2 verb=$3
while [ $# -gt 0 ]; do
    case "$1" in
        --out) out=$2 ;;
        --report) make "$2" && echo '{"prompt_tokens": {"tiny": {}}}' > "$2" ;;
        --pass-at-k | --out-csv | --out-md) make "$2" ;;
        --out-tex | --out-pdf | --out-png) make "$2" ;;
        --run-dir) run=$2 ;;
        --checkpoints) echo step >> "$(mkdir -p "$2" && echo "$2")/state" ;;
    esac
    shift
done
if [ "$module" = lens_impl.training.supervisor ]; then
    if [ -e FAIL ]; then echo "error: stopped by the test" >&2; exit 2; fi
    for name in config.json metrics.jsonl curves.parquet manifest.json; do make "$run/$name"; done
elif [ "$module" = lens_impl.data.toy ]; then
    for name in math_train math_test aime24_test dapo numina pretrain; do make "$out/$name.jsonl"; done
elif [ "$module $verb" = "lens_impl.models.toy train" ]; then
    make "$out/config.json"
elif [ "$module $verb" = "lens_impl.models.toy tokenizer" ]; then
    make "$out/tokenizer.json"
elif [ "$module" = lens_impl.data.download ] || [ "$module" = lens_impl.models.hub ]; then
    make "$out/config.json"
elif [ -n "$out" ]; then
    make "$out"
fi
