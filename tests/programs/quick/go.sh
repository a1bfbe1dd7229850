#!/bin/bash
# go build, and the program: goroutines, channels, its own server.
. "$(dirname "$0")/../lib.sh"

cat >h.go <<'G'
package main

import (
	"bufio"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"sync"
	"time"
)

func main() {
	var group sync.WaitGroup
	sum := make(chan int, 10)
	for i := 0; i < 1000; i++ {
		group.Add(1)
		go func(i int) { defer group.Done(); runtime.Gosched(); sum <- i }(i)
	}
	go func() { group.Wait(); close(sum) }()
	total := 0
	for i := range sum {
		total += i
	}
	listener, _ := net.Listen("tcp", "127.0.0.1:0")
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { line, _ := bufio.NewReader(c).ReadString('\n'); fmt.Fprint(c, line); c.Close() }()
		}
	}()
	for i := 0; i < 50; i++ {
		c, _ := net.Dial("tcp", listener.Addr().String())
		fmt.Fprintf(c, "%d\n", i)
		var got int
		fmt.Fscan(c, &got)
		total += got
		c.Close()
	}
	out, _ := exec.Command("echo", "-n", "hi").Output()
	for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); {
		_ = make([]byte, 1<<16)
	}
	runtime.GC()
	fmt.Println(string(out), total)
}
G
export GOCACHE=$work/gc GO111MODULE=off
go build -o h h.go
is answer "$(./h)" "hi 500725"
