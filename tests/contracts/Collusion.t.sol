// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IAnchors} from "peerage/interfaces/IAnchors.sol";
import {IPeered} from "peerage/interfaces/IPeered.sol";
import {AgreementState, Possession, Revision, Terms} from "peerage/types/Types.sol";
import {Network} from "./Network.sol";

/// @notice Attacks by validators, by several members together, and by outsiders, each carried out.
contract CollusionTest is Network {
    uint32 internal constant CLIENT = 1;
    uint32 internal constant PROVIDER = 2;
    uint32 internal constant OTHER = 3;
    uint32 internal constant LAST = 6;

    bytes32 internal id;

    function setUp() public {
        deploy();
        join(LAST);
        toEpoch(2);
        beatAll();
        id = openBetween(CLIENT, PROVIDER);
        revise(id, 40);
        toEpoch(3);
        beatAll();
    }

    /// @dev A proposer has beats in whatever order it likes: all orders make one seed.
    function test_attack_aProposerOrdersTheBeats() public {
        nextEpoch();
        uint256 snapshot = vm.snapshotState();
        beatAll();
        nextEpoch();
        (bytes32 seed,) = beacon.seed(5);
        vm.revertToState(snapshot);
        for (uint32 member = LAST; member > 0; --member) {
            beat(member);
        }
        nextEpoch();
        (bytes32 turned,) = beacon.seed(5);
        assertEq(seed, turned);
    }

    /// @dev A proposer leaves one beat out: the seed is another, one bit of choice, and everybody sees whose beat is missing.
    function test_attack_aProposerLeavesABeatOut() public {
        nextEpoch();
        uint256 snapshot = vm.snapshotState();
        beatAll();
        nextEpoch();
        (bytes32 whole,) = beacon.seed(5);
        vm.revertToState(snapshot);
        beatAllBut(LAST);
        nextEpoch();
        (bytes32 part, bool seeded) = beacon.seed(5);
        assertTrue(seeded);
        assertNotEq(whole, part);
        assertEq(beacon.lastBeatOf(LAST), 3);
    }

    /// @dev A provider that sees a challenge coming which it cannot answer keeps its link back: that is a miss, too.
    function test_attack_withholdsItsLink() public {
        for (uint256 epoch = 4; epoch <= 6; ++epoch) {
            toEpoch(epoch);
            beatAllBut(PROVIDER);
        }
        toSecondHalf();
        clearing.settle(id);
        assertEq(clearing.ledgerOf(id).misses, 2, "4 and 5");
    }

    /// @dev More than a third stay silent: the epochs are void, nobody is punished, and the pay comes with the next proof.
    function test_attack_aThirdStaysSilentToVoidEpochs() public {
        nextEpoch();
        beatAll();
        prove(id);
        for (uint256 epoch = 5; epoch <= 8; ++epoch) {
            toEpoch(epoch);
            for (uint32 member = 1; member <= 3; ++member) {
                beat(member);
            }
        }
        for (uint256 epoch = 9; epoch <= 10; ++epoch) {
            toEpoch(epoch);
            beatAll();
        }
        prove(id);
        nextEpoch();
        beatAll();
        toSecondHalf();
        clearing.settle(id);
        assertEq(clearing.ledgerOf(id).misses, 0);
        assertEq(clearing.ledgerOf(id).paid, 7 * uint256(611), "4 to 10, at 40 KiB for 16 credits a GiB");
    }

    /// @dev The chain is down for days, from the middle of an epoch on.
    function test_attack_theChainIsStopped() public {
        nextEpoch();
        beatAll();
        prove(id);
        toEpoch(5);
        beatAll(); // and then nothing
        toEpoch(30);
        beatAll();
        toEpoch(31);
        beatAll();
        prove(id);
        toEpoch(32);
        beatAll();
        toSecondHalf();
        clearing.settle(id);
        assertEq(clearing.ledgerOf(id).misses, 0);
        assertEq(clearing.ledgerOf(id).paid, 28 * uint256(611), "4 to 31");
    }

    /// @dev A client lets a provider of its own fail: others, which hold its data too, are paid to the unit.
    function test_attack_failsAProviderOfItsOwn() public {
        bytes32 own = openBetween(CLIENT, OTHER);
        revise(own, 40);
        for (uint256 epoch = 4; epoch <= 12; ++epoch) {
            toEpoch(epoch);
            beatAllBut(OTHER);
            prove(id);
        }
        toSecondHalf();
        clearing.settle(own);
        clearing.settle(id);
        assertEq(uint8(stateOf(own)), uint8(AgreementState.FAILED));
        assertEq(clearing.ledgerOf(id).paid, 8 * uint256(611), "4 to 11");
        assertEq(clearing.ledgerOf(id).misses, 0);
    }

    function test_attack_servesAnOlderHead() public {
        vm.startPrank(node(CLIENT));
        anchors.anchor(0, 7, "the newest");
        vm.expectRevert(abi.encodeWithSelector(IAnchors.NumberNotGrowing.selector, CLIENT, 0, 7, 6));
        anchors.anchor(0, 6, "an older one");
        vm.stopPrank();
        (uint64 number, bytes32 head,) = anchors.latest(CLIENT, 0);
        assertEq(number, 7);
        assertEq(head, "the newest");
    }

    function test_attack_anOutsiderWrites() public {
        bytes memory refused = abi.encodeWithSelector(IPeered.NotAMember.selector, address(this));
        vm.expectRevert(refused);
        beacon.commit(bytes20("tip"));
        vm.expectRevert(refused);
        anchors.anchor(0, 1, "head");
        vm.expectRevert(refused);
        agreements.announceRemoval(id, "objects", 1);
        nextEpoch();
        beatAll();
        Possession[] memory answers = new Possession[](1);
        answers[0] = possession(id, 4);
        vm.expectRevert(refused);
        proofs.prove(answers);
    }

    function test_attack_aSuspendedMemberOpensAndRevises() public {
        Terms memory terms = termsFor(CLIENT, OTHER);
        Revision memory revision = nextRevision(id, 41);
        bytes memory ours = signTerms(nodeKey[CLIENT], terms);
        bytes memory theirs = signTerms(nodeKey[OTHER], terms);
        bytes memory oursToo = signRevision(nodeKey[CLIENT], revision);
        bytes memory theirsToo = signRevision(nodeKey[PROVIDER], revision);
        vm.prank(operator);
        members.suspend(CLIENT);
        vm.expectPartialRevert(IPeered.StatusForbids.selector);
        agreements.open(terms, ours, theirs);
        vm.expectPartialRevert(IPeered.StatusForbids.selector);
        agreements.revise(revision, oursToo, theirsToo);
    }
}
