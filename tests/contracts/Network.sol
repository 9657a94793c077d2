// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Test} from "forge-std/Test.sol";
import {Agreements} from "peerage/Agreements.sol";
import {Amendments} from "peerage/Amendments.sol";
import {Anchors} from "peerage/Anchors.sol";
import {Beacon} from "peerage/Beacon.sol";
import {Clearing} from "peerage/Clearing.sol";
import {Credit} from "peerage/Credit.sol";
import {Demands} from "peerage/Demands.sol";
import {Directory} from "peerage/Directory.sol";
import {Members} from "peerage/Members.sol";
import {Proofs} from "peerage/Proofs.sol";
import {Quality} from "peerage/Quality.sol";
import {Deal} from "peerage/interfaces/IAgreements.sol";
import {AgreementState, Enrolment, Offer, Params, Possession, Revision, Terms} from "peerage/types/Types.sol";
import {Kinds} from "peerage/libraries/Kinds.sol";
import {TypedData} from "peerage/libraries/TypedData.sol";
import {SumTrees} from "./SumTrees.sol";

/// @notice A whole network with members that the test plays: deployed, admitted, enrolled, offering, with credits.
abstract contract Network is Test {
    using SumTrees for SumTrees.Tree;

    uint256 internal constant EPOCH = 100;
    uint256 internal constant LINKS = 420;
    uint64 internal constant MIB = 1 << 20;
    uint64 internal constant GIB = 1 << 30;
    uint256 internal constant CREDITS = 1_000_000;
    uint256 internal constant START_BALANCE = 1000 * CREDITS;

    address internal operator = makeAddr("operator");
    Directory internal directory;
    Credit internal credit;
    Members internal members;
    Beacon internal beacon;
    Agreements internal agreements;
    Amendments internal amendments;
    Proofs internal proofs;
    Clearing internal clearing;
    Anchors internal anchors;
    Demands internal demands;
    Quality internal quality;

    mapping(uint32 member => uint256) internal accountKey;
    mapping(uint32 member => uint256) internal nodeKey;
    mapping(uint32 member => bytes20[]) internal links;
    mapping(uint32 member => uint256) internal nextLink;
    uint256 private _keys;

    function deploy() internal {
        Params memory params;
        params.epochSeconds = uint32(EPOCH);
        params.samples = 2;
        params.graceEpochs = 4;
        params.escrowEpochs = 8;
        deploy(params);
    }

    /// @dev Small trees and few samples keep the tests quick; the sizes change nothing in the contracts.
    function deploy(Params memory params) internal {
        vm.warp(1_750_000_000);
        vm.startPrank(operator, operator);
        directory = new Directory();
        directory.configure(params);
        credit = new Credit(directory);
        members = new Members(directory);
        beacon = new Beacon(directory);
        agreements = new Agreements(directory);
        amendments = new Amendments(directory);
        proofs = new Proofs(directory);
        clearing = new Clearing(directory);
        anchors = new Anchors(directory);
        demands = new Demands(directory);
        quality = new Quality(directory);
        directory.set(Kinds.CREDIT, address(credit));
        directory.set(Kinds.MEMBERS, address(members));
        directory.set(Kinds.BEACON, address(beacon));
        directory.set(Kinds.AGREEMENTS, address(agreements));
        directory.set(Kinds.AMENDMENTS, address(amendments));
        directory.set(Kinds.PROOFS, address(proofs));
        directory.set(Kinds.CLEARING, address(clearing));
        directory.set(Kinds.ANCHORS, address(anchors));
        directory.set(Kinds.DEMANDS, address(demands));
        directory.set(Kinds.QUALITY, address(quality));
        vm.stopPrank();
    }

    // Members

    function newKey() internal returns (uint256) {
        return uint256(keccak256(abi.encode("key", ++_keys)));
    }

    function account(uint32 member) internal view returns (address) {
        return vm.addr(accountKey[member]);
    }

    function node(uint32 member) internal view returns (address) {
        return vm.addr(nodeKey[member]);
    }

    /// @dev A member with nothing but its number.
    function admit() internal returns (uint32 member) {
        return admit(keccak256(abi.encode("entity", _keys)));
    }

    function admit(bytes32 entity) internal returns (uint32 member) {
        uint256 key = newKey();
        address at = vm.addr(key);
        vm.prank(operator);
        member = members.admit(at, entity, "FR", "a member");
        accountKey[member] = key;
    }

    /// @dev A member as it should be: enrolled, committed to an onion, offering, with credits.
    function join() internal returns (uint32 member) {
        return join(keccak256(abi.encode("entity", _keys)));
    }

    function join(bytes32 entity) internal returns (uint32 member) {
        member = admit(entity);
        nodeKey[member] = newKey();
        enrol(member, nodeKey[member]);
        commit(member);
        vm.prank(node(member));
        members.publishOffer(Offer(GIB, 1000, 10, 5 * uint64(CREDITS), 1024, 4, 1000));
        deposit(member, START_BALANCE);
    }

    function join(uint256 number) internal {
        for (uint256 i = 0; i < number; ++i) {
            join();
        }
    }

    function enrolment(uint32 member, uint256 key) internal view returns (Enrolment memory) {
        return Enrolment(
            1,
            account(member),
            vm.addr(key),
            sha256("certificate"),
            uint64(block.timestamp),
            uint64(block.timestamp + 3650 days),
            type(uint64).max,
            false,
            0
        );
    }

    function enrol(uint32 member, uint256 key) internal {
        Enrolment memory signed = enrolment(member, key);
        members.enrol(signed, "certificate", "host:1", "site", signEnrolment(accountKey[member], signed));
    }

    function deposit(uint32 member, uint256 amount) internal {
        vm.startPrank(operator);
        credit.mint(operator, amount);
        credit.approve(address(clearing), amount);
        clearing.depositFor(member, amount);
        vm.stopPrank();
    }

    // Time and beats

    function toEpoch(uint256 epoch) internal {
        vm.warp(directory.params().genesisTime + epoch * EPOCH);
    }

    function nextEpoch() internal {
        toEpoch(uint256(beacon.currentEpoch()) + 1);
    }

    function toSecondHalf() internal {
        vm.warp(directory.params().genesisTime + uint256(beacon.currentEpoch()) * EPOCH + EPOCH / 2);
    }

    function commit(uint32 member) internal {
        delete links[member];
        bytes20 link = bytes20(keccak256(abi.encode("onion", newKey())));
        for (uint256 i = 0; i < LINKS; ++i) {
            links[member].push(link);
            link = bytes20(sha256(abi.encodePacked(link)));
        }
        nextLink[member] = LINKS;
        vm.prank(node(member));
        beacon.commit(link);
    }

    function beat(uint32 member) internal {
        beacon.beat(member, links[member][--nextLink[member]]);
    }

    function beatAll() internal {
        beatAllBut(0);
    }

    function beatAllBut(uint32 silent) internal {
        for (uint32 member = 1; member <= members.count(); ++member) {
            if (member != silent) beat(member);
        }
    }

    // Agreements

    function termsFor(uint32 client, uint32 provider) internal view returns (Terms memory terms) {
        uint32 epoch = beacon.currentEpoch();
        terms.version = 1;
        terms.client = client;
        terms.provider = provider;
        terms.capacity = 64 * MIB;
        terms.pricePerGibEpoch = 16_000_000;
        terms.egressPricePerGib = 1000;
        terms.collateral = uint64(10 * CREDITS);
        terms.startEpoch = epoch;
        terms.endEpoch = epoch + 40;
        terms.openBy = epoch + 2;
        terms.salt = keccak256(abi.encode("salt", agreements.count()));
    }

    function open(Terms memory terms) internal returns (bytes32) {
        return
            agreements.open(terms, signTerms(nodeKey[terms.client], terms), signTerms(nodeKey[terms.provider], terms));
    }

    function openBetween(uint32 client, uint32 provider) internal returns (bytes32) {
        return open(termsFor(client, provider));
    }

    function treeOf(bytes32 id, uint64 leaves) internal pure virtual returns (SumTrees.Tree memory) {
        return SumTrees.Tree(id, leaves, false, false);
    }

    function nextRevision(bytes32 id, uint64 leaves) internal view virtual returns (Revision memory revision) {
        revision.version = 1;
        revision.agreement = id;
        revision.sequence = agreements.get(id).sequence + 1;
        revision.previous = agreements.revisionDigest(id);
        // A tree of thousands of leaves takes too much memory here; nothing is proven over it.
        SumTrees.Tree memory tree = treeOf(id, leaves);
        revision.root = leaves > 64 && !tree.uniform ? bytes32(uint256(leaves)) : tree.root();
        revision.leaves = leaves;
        revision.expires = beacon.currentEpoch() + 2;
    }

    function revise(Revision memory revision) internal {
        Deal memory terms = agreements.get(revision.agreement).terms;
        agreements.revise(
            revision, signRevision(nodeKey[terms.client], revision), signRevision(nodeKey[terms.provider], revision)
        );
    }

    function revise(bytes32 id, uint64 leaves) internal {
        revise(nextRevision(id, leaves));
    }

    function stateOf(bytes32 id) internal view returns (AgreementState) {
        return agreements.get(id).state;
    }

    // Proofs

    function possession(bytes32 id, uint32 epoch) internal view returns (Possession memory) {
        (,,,, uint64 leaves, uint64[] memory indices) = proofs.challenge(id, epoch);
        return possessionFrom(treeOf(id, leaves), id, indices);
    }

    /// @dev Leaves of any tree, as an answer for any agreement.
    function possessionFrom(SumTrees.Tree memory tree, bytes32 id, uint64[] memory indices)
        internal
        pure
        returns (Possession memory)
    {
        return Possession(id, tree.proof(indices));
    }

    function prove(bytes32 id) internal {
        send(agreements.get(id).terms.provider, possession(id, beacon.currentEpoch()));
    }

    function send(uint32 sender, Possession memory answer) internal {
        Possession[] memory all = new Possession[](1);
        all[0] = answer;
        vm.prank(node(sender));
        proofs.prove(all);
    }

    /// @dev A stroke of the pen in place of a proof over a tree of 64 MiB.
    function setProven(bytes32 which, uint256 epoch) internal {
        bytes32 bitmap = keccak256(abi.encode(which, uint256(0)));
        bytes32 slot = keccak256(abi.encode(epoch >> 8, bitmap));
        uint256 word = uint256(vm.load(address(proofs), slot));
        vm.store(address(proofs), slot, bytes32(word | (1 << (epoch & 0xff))));
        assertTrue(proofs.proven(which, uint32(epoch)));
    }

    // Signatures

    function signTerms(uint256 key, Terms memory terms) internal view returns (bytes memory) {
        return sign(key, keccak256(abi.encode(TypedData.TERMS, terms)));
    }

    function signRevision(uint256 key, Revision memory revision) internal view returns (bytes memory) {
        return sign(key, keccak256(abi.encode(TypedData.REVISION, revision)));
    }

    function signEnrolment(uint256 key, Enrolment memory given) internal view returns (bytes memory) {
        return sign(key, keccak256(abi.encode(TypedData.ENROLMENT, given)));
    }

    function sign(uint256 key, bytes32 structHash) internal view returns (bytes memory) {
        return signDigest(key, keccak256(abi.encodePacked(hex"1901", directory.domainSeparator(), structHash)));
    }

    function signDigest(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }
}
