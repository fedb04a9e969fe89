package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// The first byte that the origin gets says what it does.
	echo, send = 'e', 's'
	chunk      = 256 * 1024
	// patience bounds every step of a connection.
	patience = 20 * time.Second
)

// startOrigin serves whoever connects until the process ends.
func startOrigin() (string, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return listener.Addr().String(), nil
}

func serve(conn net.Conn) {
	defer conn.Close()
	first := make([]byte, 64)
	read, err := conn.Read(first)
	if err != nil {
		return
	}
	if first[0] == echo {
		conn.Write(first[:read])
		// Until the other side closes.
		conn.Read(first)
		return
	}
	for bytes := make([]byte, chunk); err == nil; {
		_, err = conn.Write(bytes)
	}
}

// forwards says whether a service leads to the origin without being asked.
func forwards(service string) bool {
	return slices.Contains([]string{"forward", "relay-tls", "mtls"}, service)
}

// open connects to the origin through a service of the proxy.
func open(p *proxy, service, origin, password string) (net.Conn, error) {
	conn, err := net.DialTimeout("tcp4", p.addrs[service], patience)
	if err != nil || forwards(service) {
		return conn, err
	}
	conn.SetDeadline(time.Now().Add(patience))
	credentials := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	_, err = fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nProxy-Authorization: Basic %s\r\n\r\n", origin, origin, credentials)
	if err == nil {
		err = established(conn)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func established(conn net.Conn) error {
	head := make([]byte, 0, 512)
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		read, err := conn.Read(head[len(head):cap(head)])
		if err != nil {
			return fmt.Errorf("the answer to CONNECT: %w", err)
		}
		head = head[:len(head)+read]
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
		return errors.New(string(head[:bytes.IndexByte(head, '\r')]))
	}
	return nil
}

func ask(conn net.Conn) error {
	conn.SetDeadline(time.Now().Add(patience))
	question, answer := [32]byte{echo}, [32]byte{}
	if _, err := conn.Write(question[:]); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return fmt.Errorf("the echo: %w", err)
	}
	if answer != question {
		return errors.New("the echo is another")
	}
	return nil
}

// failures are connections that the proxy broke off, and how it did so first.
type failures struct {
	mutex sync.Mutex
	count int
	first error
}

func (f *failures) add(err error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.count++
	if f.first == nil {
		f.first = err
	}
}

// connections opens a connection, has 32 bytes echoed and closes it, over and over, and returns how long each took until the echo
// was there.
func connections(p *proxy, service, origin string, failed *failures) (waits []time.Duration, cpu time.Duration, err error) {
	if service == "grpc" || service == "wasm" {
		// Otherwise nobody was asked.
		if conn, err := open(p, service, origin, "wrong"); err == nil {
			conn.Close()
			return nil, 0, errors.New("a wrong password is let in")
		}
	}
	before, err := cpuTime(p)
	if err != nil {
		return nil, 0, err
	}
	var group sync.WaitGroup
	each := make([][]time.Duration, *workers)
	end := time.Now().Add(*turn)
	for worker := range *workers {
		group.Go(func() {
			for start := time.Now(); start.Before(end); start = time.Now() {
				conn, err := open(p, service, origin, password)
				if err == nil {
					err = ask(conn)
					conn.Close()
				}
				if err != nil {
					failed.add(err)
				} else {
					each[worker] = append(each[worker], time.Since(start))
				}
			}
		})
	}
	group.Wait()
	for _, some := range each {
		waits = append(waits, some...)
	}
	if len(waits) == 0 {
		return nil, 0, fmt.Errorf("no connection: %w", failed.first)
	}
	after, err := cpuTime(p)
	return waits, after - before, err
}

// bulk has the origin send as much as it can.
func bulk(p *proxy, service, origin string, failed *failures) (received int64, cpu time.Duration, err error) {
	var group sync.WaitGroup
	var total atomic.Int64
	var over atomic.Bool
	var conns []net.Conn
	defer func() {
		over.Store(true)
		for _, conn := range conns {
			conn.Close()
		}
		group.Wait()
	}()
	for range *streams {
		conn, err := open(p, service, origin, password)
		if err != nil {
			return 0, 0, err
		}
		conns = append(conns, conn)
		conn.SetDeadline(time.Now().Add(*turn + patience))
		if _, err := conn.Write([]byte{send}); err != nil {
			return 0, 0, err
		}
		group.Go(func() {
			for buffer := make([]byte, chunk); ; {
				read, err := conn.Read(buffer)
				total.Add(int64(read))
				if err != nil {
					if !over.Load() {
						failed.add(err)
					}
					return
				}
			}
		})
	}
	// Until windows have grown.
	time.Sleep(*turn / 10)
	before, err := cpuTime(p)
	if err != nil {
		return 0, 0, err
	}
	first := total.Load()
	time.Sleep(*turn)
	received = total.Load() - first
	after, err := cpuTime(p)
	if err == nil && received == 0 {
		err = errors.New("nothing arrived")
	}
	return received, after - before, err
}

// idleMemory returns KiB: of the process before it had a connection, and of each of many that wait after an echo.
func idleMemory(p *proxy, service, origin string) (size, each float64, err error) {
	size, err = resident(p)
	if err != nil {
		return 0, 0, err
	}
	// What the first connections need once.
	for range 64 {
		conn, err := open(p, service, origin, password)
		if err != nil {
			return 0, 0, err
		}
		err = ask(conn)
		conn.Close()
		if err != nil {
			return 0, 0, err
		}
	}
	before, err := settled(p)
	if err != nil {
		return 0, 0, err
	}
	conns, failed := make([]net.Conn, *idle), make([]error, *workers)
	defer func() {
		for _, conn := range conns {
			if conn != nil {
				conn.Close()
			}
		}
	}()
	var group sync.WaitGroup
	for worker := range *workers {
		group.Go(func() {
			for at := worker; at < *idle && failed[worker] == nil; at += *workers {
				conns[at], failed[worker] = open(p, service, origin, password)
				if failed[worker] == nil {
					failed[worker] = ask(conns[at])
				}
			}
		})
	}
	group.Wait()
	if err := errors.Join(failed...); err != nil {
		return 0, 0, err
	}
	after, err := settled(p)
	return size, (after - before) / float64(*idle), err
}
