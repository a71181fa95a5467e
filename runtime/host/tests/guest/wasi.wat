(import "wasi:io/error@0.2.0" (instance $error
  (export "error" (type (sub resource)))))
(alias export $error "error" (type $io-error))
(import "wasi:io/poll@0.2.0" (instance $poll
  (export "pollable" (type $p (sub resource)))
  (export "[method]pollable.ready" (func (param "self" (borrow $p)) (result bool)))
  (export "[method]pollable.block" (func (param "self" (borrow $p))))
  (export "poll" (func (param "in" (list (borrow $p))) (result (list u32))))))
(alias export $poll "pollable" (type $pollable))
(import "wasi:io/streams@0.2.0" (instance $streams
  (alias outer 1 $io-error (type $e'))
  (alias outer 1 $pollable (type $p'))
  (export "error" (type $e (eq $e')))
  (export "pollable" (type $p (eq $p')))
  (export "input-stream" (type $i (sub resource)))
  (export "output-stream" (type $o (sub resource)))
  (type $f' (variant (case "last-operation-failed" (own $e)) (case "closed")))
  (export "stream-error" (type $f (eq $f')))
  (type $read (func (param "self" (borrow $i)) (param "len" u64)
    (result (result (list u8) (error $f)))))
  (type $skip (func (param "self" (borrow $i)) (param "len" u64) (result (result u64 (error $f)))))
  (export "[method]input-stream.read" (func (type $read)))
  (export "[method]input-stream.blocking-read" (func (type $read)))
  (export "[method]input-stream.skip" (func (type $skip)))
  (export "[method]input-stream.blocking-skip" (func (type $skip)))
  (export "[method]input-stream.subscribe" (func (param "self" (borrow $i)) (result (own $p))))
  (type $write (func (param "self" (borrow $o)) (param "contents" (list u8))
    (result (result (error $f)))))
  (type $flush (func (param "self" (borrow $o)) (result (result (error $f)))))
  (type $zeroes (func (param "self" (borrow $o)) (param "len" u64) (result (result (error $f)))))
  (type $splice (func (param "self" (borrow $o)) (param "src" (borrow $i)) (param "len" u64)
    (result (result u64 (error $f)))))
  (export "[method]output-stream.check-write"
    (func (param "self" (borrow $o)) (result (result u64 (error $f)))))
  (export "[method]output-stream.write" (func (type $write)))
  (export "[method]output-stream.blocking-write-and-flush" (func (type $write)))
  (export "[method]output-stream.flush" (func (type $flush)))
  (export "[method]output-stream.blocking-flush" (func (type $flush)))
  (export "[method]output-stream.subscribe" (func (param "self" (borrow $o)) (result (own $p))))
  (export "[method]output-stream.write-zeroes" (func (type $zeroes)))
  (export "[method]output-stream.blocking-write-zeroes-and-flush" (func (type $zeroes)))
  (export "[method]output-stream.splice" (func (type $splice)))
  (export "[method]output-stream.blocking-splice" (func (type $splice)))))
(alias export $streams "input-stream" (type $input))
(alias export $streams "output-stream" (type $output))
(import "wasi:cli/environment@0.2.0" (instance $environment
  (export "get-environment" (func (result (list (tuple string string)))))
  (export "get-arguments" (func (result (list string))))
  (export "initial-cwd" (func (result (option string))))))
(import "wasi:cli/exit@0.2.12" (instance $exit
  (export "exit" (func (param "status" (result))))
  (export "exit-with-code" (func (param "status-code" u8)))))
(import "wasi:cli/stdin@0.2.0" (instance $stdin
  (alias outer 1 $input (type $i'))
  (export "input-stream" (type $i (eq $i')))
  (export "get-stdin" (func (result (own $i))))))
(import "wasi:cli/stdout@0.2.0" (instance $stdout
  (alias outer 1 $output (type $o'))
  (export "output-stream" (type $o (eq $o')))
  (export "get-stdout" (func (result (own $o))))))
(import "wasi:cli/stderr@0.2.0" (instance $stderr
  (alias outer 1 $output (type $o'))
  (export "output-stream" (type $o (eq $o')))
  (export "get-stderr" (func (result (own $o))))))
(import "wasi:cli/terminal-input@0.2.0" (instance $terminal-input
  (export "terminal-input" (type (sub resource)))))
(alias export $terminal-input "terminal-input" (type $t-in))
(import "wasi:cli/terminal-output@0.2.0" (instance $terminal-output
  (export "terminal-output" (type (sub resource)))))
(alias export $terminal-output "terminal-output" (type $t-out))
(import "wasi:cli/terminal-stdin@0.2.0" (instance $terminal-stdin
  (alias outer 1 $t-in (type $t'))
  (export "terminal-input" (type $t (eq $t')))
  (export "get-terminal-stdin" (func (result (option (own $t)))))))
(import "wasi:cli/terminal-stdout@0.2.0" (instance $terminal-stdout
  (alias outer 1 $t-out (type $t'))
  (export "terminal-output" (type $t (eq $t')))
  (export "get-terminal-stdout" (func (result (option (own $t)))))))
(import "wasi:cli/terminal-stderr@0.2.0" (instance $terminal-stderr
  (alias outer 1 $t-out (type $t'))
  (export "terminal-output" (type $t (eq $t')))
  (export "get-terminal-stderr" (func (result (option (own $t)))))))
(import "wasi:clocks/wall-clock@0.2.0" (instance $wall-clock
  (type $d' (record (field "seconds" u64) (field "nanoseconds" u32)))
  (export "datetime" (type $d (eq $d')))
  (export "now" (func (result $d)))
  (export "resolution" (func (result $d)))))
(import "wasi:clocks/monotonic-clock@0.2.0" (instance $monotonic-clock
  (alias outer 1 $pollable (type $p'))
  (export "pollable" (type $p (eq $p')))
  (export "now" (func (result u64)))
  (export "resolution" (func (result u64)))
  (export "subscribe-instant" (func (param "when" u64) (result (own $p))))
  (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
(import "wasi:random/random@0.2.0" (instance $random
  (export "get-random-bytes" (func (param "len" u64) (result (list u8))))
  (export "get-random-u64" (func (result u64)))))
(import "wasi:random/insecure@0.2.0" (instance $insecure
  (export "get-insecure-random-bytes" (func (param "len" u64) (result (list u8))))
  (export "get-insecure-random-u64" (func (result u64)))))
(import "wasi:random/insecure-seed@0.2.0" (instance $insecure-seed
  (export "insecure-seed" (func (result (tuple u64 u64))))))
(import "wasi:filesystem/types@0.2.0" (instance $files
  (export "descriptor" (type (sub resource)))))
(alias export $files "descriptor" (type $descriptor))
(import "wasi:filesystem/preopens@0.2.0" (instance $preopens
  (alias outer 1 $descriptor (type $d'))
  (export "descriptor" (type $d (eq $d')))
  (export "get-directories" (func (result (list (tuple (own $d) string)))))))
