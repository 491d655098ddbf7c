module salar.example/tests/parts/tikv/pd

go 1.25

// PD's etcd registers a pattern that the multiplexer of later versions takes for a malformed method.
godebug httpmuxgo121=1

require github.com/tikv/pd v1.1.0-beta.0.20240407022249-7179657d129b
