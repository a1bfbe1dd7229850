#!/bin/bash
# SQLite: commits one by one, write-ahead log with two writers, integrity.
. "$(dirname "$0")/../lib.sh"

cat >all.py <<'P'
import sqlite3, threading
c = sqlite3.connect("a.db")
c.execute("create table t(a integer primary key, b text)")
for i in range(100):
    c.execute("insert into t(b) values(?)", (str(i) * 30,))
    c.commit()
for i in range(20000):
    assert c.execute("select b from t where a=?", (i % 100 + 1,)).fetchone()[0] == str(i % 100) * 30
assert c.execute("pragma journal_mode=wal").fetchone() == ("wal",)
def writer(n):
    mine = sqlite3.connect("a.db", timeout=60)
    for i in range(100):
        mine.execute("insert into t(b) values(?)", (f"{n} {i}",))
        mine.commit()
threads = [threading.Thread(target=writer, args=(n,)) for n in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(c.execute("select count(*) from t").fetchone()[0], c.execute("pragma integrity_check").fetchone()[0])
P
is rows "$(python3 all.py)" "300 ok"
is "rows by the tool" "$(sqlite3 a.db 'select count(*), max(length(b)) from t')" "300|60"
