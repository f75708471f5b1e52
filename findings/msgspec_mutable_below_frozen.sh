#!/bin/sh
# msgspec 0.22.0 and mypy 2.4.1: a mutable Struct may derive from a frozen, array-like one, and each of these properties
# is taken back on its own. It runs: the subclass changes its fields, is encoded as an object, and the base stays frozen.
# A type checker refuses the class, because Struct is declared with dataclass_transform, whose rules forbid it.
# Seen when an order in a book (mutable) was to take its fields from an order's terms (frozen, an array on the wire).
# Needs python3 with venv and a package index. Ends with 0 while both behave so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check msgspec==0.22.0 mypy==2.4.1
cat > "$folder/order.py" <<'PYTHON'
import msgspec


class Terms(msgspec.Struct, frozen=True, array_like=True):
    price: int


class Resting(Terms, frozen=False, array_like=False):
    remaining: int = 0
PYTHON
cat > "$folder/run.py" <<'PYTHON'
import msgspec
from order import Resting, Terms

resting = Resting(100, 5)
resting.price = 101
assert msgspec.json.encode(resting) == b'{"price":101,"remaining":5}', msgspec.json.encode(resting)
assert msgspec.json.encode(Terms(100)) == b"[100]"
try:
    Terms(100).price = 101
except AttributeError as error:
    print("msgspec", msgspec.__version__, "- the subclass is mutable, its base still is not:", error)
else:
    raise SystemExit("the frozen base can be changed")
PYTHON
cd "$folder"
venv/bin/python run.py
if said=$(venv/bin/mypy --no-error-summary order.py); then
    echo "mypy accepts the class now"
    exit 1
fi
echo "$said"
case "$said" in
    *"Non-frozen dataclass cannot inherit from a frozen dataclass"*) ;;
    *) echo "mypy refuses it for another reason now"; exit 1 ;;
esac
