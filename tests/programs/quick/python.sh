#!/bin/bash
# Python: start, computation, threads, processes, asyncio.
. "$(dirname "$0")/../lib.sh"

for _ in $(seq 5); do python3 -c 'import json,re,asyncio,subprocess'; done
is computed "$(python3 -c 'print(sum(i * i % 7 for i in range(1000000)))')" 1999998
cat >all.py <<'P'
import asyncio, concurrent.futures, hashlib, multiprocessing, queue, socket, subprocess, sys, threading

def digest(n):
    return hashlib.sha256(str(n).encode()).hexdigest()[:4]

if __name__ == "__main__":
    with multiprocessing.Pool(4) as pool:
        assert pool.map(digest, range(200)) == [digest(n) for n in range(200)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(digest, range(200))) == [digest(n) for n in range(200)]
    through = queue.Queue(3)
    threads = [threading.Thread(target=lambda: [through.put(n) for n in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert sum(through.get() for _ in range(2000)) == 4 * sum(range(500))

    async def echo(reader, writer):
        while line := await reader.readline():
            writer.write(line.upper())
        writer.close()

    async def main():
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async def ask(n):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            for i in range(20):
                writer.write(f"a{n} {i}\n".encode())
                assert await reader.readline() == f"A{n} {i}\n".encode()
            writer.close()
        await asyncio.gather(*(ask(n) for n in range(20)))
        process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
        assert (await process.communicate(b"x" * 300000))[0] == b"x" * 300000
        server.close()
    asyncio.run(main())
    print(subprocess.run([sys.executable, "-c", "import os; print(os.cpu_count() > 0)"], stdout=-1, text=True).stdout.strip())
P
is answer "$(python3 all.py)" True
