#!/bin/bash
# Ruby, PHP and Lua.
. "$(dirname "$0")/../lib.sh"

cat >a.rb <<'R'
require "socket"; require "json"; require "digest"; require "open3"; require "timeout"
s = TCPServer.new("127.0.0.1", 0)
Thread.new { loop { c = s.accept; Thread.new { while l = c.gets; c.puts l.reverse.strip; end; c.close } } }
sum = 10.times.map { |n| Thread.new { c = TCPSocket.new("127.0.0.1", s.addr[1]); 20.times.map { |i| c.puts "#{i}0"; c.gets.to_i }.sum } }.map(&:value).sum
pids = 5.times.map { |n| fork { exit n } }
codes = pids.map { |p| Process.wait2(p)[1].exitstatus }.sum
out, status = Open3.capture2("cat", stdin_data: "x" * 200_000)
begin; Timeout.timeout(0.2) { sleep 10 }; rescue Timeout::Error; late = 1; end
f = Fiber.new { 3.times { |i| Fiber.yield i } ; 9 }
r, w = IO.pipe; w << JSON.generate({"a" => [1, 2]}); w.close
puts [sum, codes, out.size, late, 4.times.map { f.resume }.sum, JSON.parse(r.read)["a"].sum, Ractor.new { 5 }.take].join(" ")
R
is ruby "$(ruby -W0 a.rb)" "5050 10 200000 1 12 3 5"
cat >a.php <<'P'
<?php
$p = proc_open(["cat"], [["pipe", "r"], ["pipe", "w"]], $io); fwrite($io[0], str_repeat("y", 50000)); fclose($io[0]);
$n = strlen(stream_get_contents($io[1])); proc_close($p);
file_put_contents("f", serialize(range(1, 100)), LOCK_EX);
$s = stream_socket_server("tcp://127.0.0.1:0"); $c = stream_socket_client("tcp://" . stream_socket_get_name($s, false));
$a = stream_socket_accept($s); fwrite($c, "hello\n");
echo $n, " ", array_sum(unserialize(file_get_contents("f"))), " ", trim(fgets($a)), " ", count(scandir("/usr/bin")) > 100 ? "many" : "few", " ", preg_replace('/(\w+)/', '<$1>', "a b"), "\n";
P
is php "$(php a.php)" "50000 5050 hello many <a> <b>"
(cd "$work" && exec php -S 127.0.0.1:7790 >php.log 2>&1) & server=$!
echo '<?php echo $_GET["x"] * 2;' >w.php
eventually curl -sf "http://127.0.0.1:7790/w.php?x=21"
is "php's server" "$(curl -s "http://127.0.0.1:7790/w.php?x=21")" 42
kill $server; wait $server || true
cat >a.lua <<'L'
local co = coroutine.wrap(function() for i = 1, 1000 do coroutine.yield(i) end end)
local s = 0 for i = 1, 1000 do s = s + co() end
local p = io.popen("seq 5"); local t = p:read("a"):gsub("\n", ","); p:close()
local f = io.open("l", "w"); f:setvbuf("full"); for i = 1, 10000 do f:write(i, "\n") end f:close()
local n = 0 for _ in io.lines("l") do n = n + 1 end
print(s, t, n, #string.rep("x", 1 << 20), os.execute("exit 3"))
L
is lua "$(lua5.4 a.lua)" "$(printf '500500\t1,2,3,4,5,\t10000\t1048576\tnil\texit\t3')"
