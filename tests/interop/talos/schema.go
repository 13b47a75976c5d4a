package main

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/siderolabs/crypto/x509"
	"github.com/siderolabs/talos/pkg/machinery/cel"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/types/block"
	"github.com/siderolabs/talos/pkg/machinery/config/types/meta"
	"github.com/siderolabs/talos/pkg/machinery/config/types/network"
	"github.com/siderolabs/talos/pkg/machinery/config/types/v1alpha1"
	"github.com/siderolabs/talos/pkg/machinery/nethelpers"
	blockres "github.com/siderolabs/talos/pkg/machinery/resources/block"
	"gopkg.in/yaml.v3"
)

// extraDocuments are the documents beside the one without a kind, in Talos 1.11.
var extraDocuments = []string{
	"EthernetConfig", "EventSinkConfig", "ExistingVolumeConfig", "ExtensionServiceConfig", "KmsgLogConfig",
	"KubeSpanEndpointsConfig", "NetworkDefaultActionConfig", "NetworkRuleConfig", "PCIDriverRebindConfig",
	"RawVolumeConfig", "SideroLinkConfig", "SwapVolumeConfig", "TrustedRootsConfig", "UserVolumeConfig", "VolumeConfig",
	"WatchdogTimerConfig", "ZswapConfig",
}

// fields is a JSON object whose keys keep their order.
type fields struct {
	names  []string
	values map[string]string
}

func (f *fields) set(name, value string) {
	f.names = append(f.names, name)
	f.values[name] = value
}

func (f *fields) MarshalJSON() ([]byte, error) {
	var text bytes.Buffer

	for i, name := range f.names {
		if i > 0 {
			text.WriteByte(',')
		}

		fmt.Fprintf(&text, "%q:%q", name, f.values[name])
	}

	return []byte("{" + text.String() + "}"), nil
}

// table collects the struct types that a document is made of.
type table struct {
	types map[string]*fields
	names map[reflect.Type]string
}

// schema tells every document and struct type, field by field in the order in which Talos writes them.
//
// A field's value is its flags and its kind. Flags: `?` left out when empty, `*` a pointer, `!` replaced as a whole by a
// patch. Kinds: string, bool, Go's integer types, any, the scalars with rules of their own (`rules`), `enum(a,b)`, a struct
// type's name, `[]kind`, `{}kind`.
func schema(_ []string) (any, error) {
	found := table{types: map[string]*fields{}, names: map[reflect.Type]string{}}
	documents := map[string]string{"": found.kindOf(reflect.TypeFor[v1alpha1.Config]())}

	for _, kind := range extraDocuments {
		provider, err := configloader.NewFromBytes(fmt.Appendf(nil, "apiVersion: v1alpha1\nkind: %s\n", kind))
		if err != nil {
			return nil, err
		}

		documents[kind] = found.kindOf(reflect.TypeOf(provider.Documents()[0]).Elem())
	}

	return map[string]any{"documents": documents, "types": found.types}, nil
}

var (
	yamlUnmarshaler = reflect.TypeFor[yaml.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	oldUnmarshaler  = reflect.TypeFor[interface{ UnmarshalYAML(func(any) error) error }]()
)

// rules are the scalars that Talos reads and writes by rules of their own.
var rules = map[reflect.Type]string{
	reflect.TypeFor[block.ByteSize]():                  "bytes",
	reflect.TypeFor[blockres.EncryptionProviderType](): enum(blockres.EncryptionProviderTypeStrings()),
	reflect.TypeFor[blockres.FilesystemType]():         enum(blockres.FilesystemTypeStrings()),
	reflect.TypeFor[cel.Expression]():                  "cel",
	reflect.TypeFor[meta.URL]():                        "url",
	reflect.TypeFor[netip.AddrPort]():                  "address-port",
	reflect.TypeFor[netip.Prefix]():                    "prefix",
	reflect.TypeFor[nethelpers.DefaultAction]():        enum(nethelpers.DefaultActionStrings()),
	reflect.TypeFor[nethelpers.Protocol]():             enum(append([]string{""}, nethelpers.ProtocolStrings()...)),
	reflect.TypeFor[network.PortRange]():               "port-range",
	reflect.TypeFor[network.Prefix]():                  "prefix",
	reflect.TypeFor[time.Duration]():                   "duration",
	reflect.TypeFor[v1alpha1.Base64Bytes]():            "base64",
	reflect.TypeFor[v1alpha1.DiskSize]():               "disk-size",
	reflect.TypeFor[v1alpha1.Endpoint]():               "url",
	reflect.TypeFor[v1alpha1.FileMode]():               "mode",
	reflect.TypeFor[v1alpha1.InstallDiskSizeMatcher](): "size-match",
}

// enum names the values in order: the first is what an absent value means, empty where no name means that.
func enum(names []string) string {
	return "enum(" + strings.Join(names, ",") + ")"
}

func (t *table) kindOf(of reflect.Type) string {
	if rule, known := rules[of]; known {
		return rule
	}

	switch of {
	case reflect.TypeFor[x509.PEMEncodedCertificateAndKey]():
		return t.named(of, "CertificateAndKey", "crt", "key")
	case reflect.TypeFor[x509.PEMEncodedCertificate]():
		return t.named(of, "Certificate", "crt")
	case reflect.TypeFor[x509.PEMEncodedKey]():
		return t.named(of, "Key", "key")
	case reflect.TypeFor[v1alpha1.Unstructured]():
		return "any"
	}

	pointer := reflect.PointerTo(of)
	isList := of.Kind() == reflect.Slice && of.Elem().Kind() != reflect.Uint8

	if !isList && (pointer.Implements(yamlUnmarshaler) || pointer.Implements(oldUnmarshaler) || pointer.Implements(textUnmarshaler)) {
		panic(fmt.Sprintf("%s: a scalar whose rules are not known here", of))
	}

	switch of.Kind() {
	case reflect.Pointer:
		return "*" + t.kindOf(of.Elem())
	case reflect.Slice:
		return "[]" + t.kindOf(of.Elem())
	case reflect.Map:
		return "{}" + t.kindOf(of.Elem())
	case reflect.Struct:
		return t.structOf(of)
	case reflect.Interface:
		return "any"
	case reflect.Bool:
		return "bool"
	case reflect.String:
		return "string"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return of.Kind().String()
	default:
		panic(fmt.Sprintf("%s: a kind that no config had so far", of))
	}
}

// named enters a type whose fields are hidden behind an encoder of its own.
func (t *table) named(of reflect.Type, name string, keys ...string) string {
	if _, done := t.names[of]; !done {
		t.names[of] = name
		entry := &fields{values: map[string]string{}}

		for _, key := range keys {
			entry.set(key, "base64")
		}

		t.types[name] = entry
	}

	return name
}

func (t *table) structOf(of reflect.Type) string {
	if name, done := t.names[of]; done {
		return name
	}

	name := of.Name()
	if _, taken := t.types[name]; taken {
		name = of.String()
	}

	entry := &fields{values: map[string]string{}}
	t.names[of] = name
	t.types[name] = entry
	t.fill(entry, of)

	return name
}

func (t *table) fill(entry *fields, of reflect.Type) {
	for i := range of.NumField() {
		field := of.Field(i)
		tag := strings.Split(field.Tag.Get("yaml"), ",")

		switch {
		case tag[0] == "-":
		case slices.Contains(tag[1:], "inline") && field.Type.Kind() == reflect.Struct:
			t.fill(entry, field.Type)
		case tag[0] == "":
			panic(fmt.Sprintf("%s.%s: a field without a name", of, field.Name))
		default:
			flags := ""
			if slices.Contains(tag[1:], "omitempty") {
				flags += "?"
			}

			if field.Tag.Get("merge") == "replace" {
				flags += "!"
			}

			entry.set(tag[0], flags+t.kindOf(field.Type))
		}
	}
}

var _ json.Marshaler = (*fields)(nil)
