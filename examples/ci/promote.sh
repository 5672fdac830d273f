#!/usr/bin/env bash
# promote.sh NAME FILE: apply a manifest and see its revision through to the end. Whoever calls it succeeds when the revision is stable, and
# fails when it is not: the exit code is that of `kubectl llm`. With APPROVE=yes approvals are given, else the job ends with 5 at the first one.
set -euo pipefail
name=$1 file=$2 timeout=${TIMEOUT:-45m}

kubectl llm diff "$name" -f "$file" || true # of one that is new there is nothing to compare
kubectl apply -f "$file"
revision=$(kubectl llm wait "$name" --for=resolved --timeout "$timeout")
echo "revision $revision"

status=0
kubectl llm wait "$name" --revision "$revision" --timeout "$timeout" || status=$?
while [ "$status" = 5 ] && [ "${APPROVE:-no}" = yes ]; do
  status=0
  kubectl llm approve "$name" --revision "$revision" --wait --timeout "$timeout" || status=$?
done
if [ "$status" = 3 ]; then # no time is left: nobody will watch it any more, so it gets no requests either
  kubectl llm abort "$name" --revision "$revision"
fi
[ "$status" = 0 ] || kubectl llm explain "$name"
exit "$status"
